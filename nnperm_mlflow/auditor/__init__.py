"""The main job: a version and data in, a measured, recorded and published audit out."""
