"""EchoMimic V1: a portrait speaks, by diffusion.

photo:    `mtcnn`, the box by which `models.portrait` crops it
portrait: `latents.encode` → the reference net → keys and values for the denoiser
speech:   `speech_features` → tokens of every video frame
frames:   `sampler`, from noise to latents over a ring of `windows` → `latents.decode`

`engine` is the entry point, `pipeline` the sequence of these stages; `memory` finds out what fits on the
device, `compiled` makes kernels for one size. `networks/` defines the networks, `weights/` loads them.
"""
