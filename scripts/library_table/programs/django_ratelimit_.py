import django
from django.conf import settings


def check_rate_limit(url):
    backend = "django.core.cache.backends.redis.RedisCache"
    settings.configure(CACHES={"default": {"BACKEND": backend, "LOCATION": url}})
    django.setup()
    from django.test import RequestFactory
    from django_ratelimit.core import is_ratelimited

    request = RequestFactory().get("/")
    limited = [is_ratelimited(request, group="g", key="ip", rate="2/h", increment=True) for _ in range(3)]
    assert limited == [False, False, True]
