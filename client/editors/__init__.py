"""Line editors: the interface, the choice between them, one based on `readline` and one based on prompt_toolkit."""
