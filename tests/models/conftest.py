from tests.networks import one_thread

__all__ = ["one_thread"]
