"""From a head to a picture: camera, light, rasteriser, exact labels."""
