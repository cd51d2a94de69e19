"""The customer's side: the gRPC service that keeps group secrets and seals them to members."""
