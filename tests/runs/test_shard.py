from __future__ import annotations

import pytest

from camtool.runs import Shard


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (1, 1), (5, 3), (0, 0)])
def test_what_is_no_shard(index, count):
    with pytest.raises(ValueError, match=f"^not a shard: {index}/{count}$"):
        Shard(index, count)


@pytest.mark.parametrize("images", [0, 1, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_cover_all_images(images, count):
    shares = [Shard(i, count).share(images) for i in range(count)]
    assert sum(shares) == images
    assert max(shares) - min(shares) <= 1
