"""EchoMimic V1: a portrait speaks, by diffusion."""
