"""Detection of a request's protocol, and JSON frames. Text and RESP are in `common`, because the client uses them."""
