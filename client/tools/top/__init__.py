"""``--top``: a full-screen live view of a server.

sampler (a thread): requests -> Snapshot -> app (Textual): history -> plots and tables
"""
