"""The paper's protocols, on photographs and on rendered people."""
