"""The versions of this program and of its D-Bus API."""

VERSION = "0.1.0"  # as in pyproject.toml; a test holds the two together

# The `version` property of our bus objects.  Front-ends derive from it what the services can do, by patterns that
# admit no more than this: the number is that of the OpenVPN 3 Linux release whose D-Bus API this is.
API_VERSION = "v27"
