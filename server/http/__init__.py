"""The HTTP listener: the same store for curl, browsers and serverless clients (extra ``http``).

listener      one thread with an event loop, the port, idle connections, the graceful stop
connection    one connection: order, backpressure, streamed responses, the lingering close
parser        bytes -> requests (sans-I/O, with httptools)
application   admit a request (route, access), respond to it
routes        the route table, and the decorator that registers a handler
messages      Request, Response, HTTPError; what a handler awaits
security      password, host names, CSRF, CORS
keys, commands, operations, documentation    the handlers
openapi, metrics, reply_json                 what they return
"""
