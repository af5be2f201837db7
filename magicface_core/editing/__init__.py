"""An edit: identity, sampling, rendering, and the class that does it all."""
