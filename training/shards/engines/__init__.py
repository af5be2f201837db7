"""Ways to run the tasks of a preparation; each gives one outcome for every task, in any order."""
