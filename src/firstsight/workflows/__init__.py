"""The only room that composes: each workflow brings several rooms together for one job."""
