"""The service: a REST ingress, a task manager and engine replicas on Ray Serve. Knows no tensors."""
