"""Versions of networks: built, read, written and asked."""

from . import lite0 as lite0  # they register their networks
from . import seed_cnn as seed_cnn
