"""The HTTP door: the same store for curl, browsers and serverless clients (extra ``http``)."""
