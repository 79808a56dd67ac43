LIBRARIES = rb"""
return {}
"""
