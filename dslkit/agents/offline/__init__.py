"""How the offline author reads a requirement and lays a workflow, without any model."""
