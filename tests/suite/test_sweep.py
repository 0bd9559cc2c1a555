from bench.suite.sweep import expand


def test_expand_is_the_product() -> None:
    points = expand({"name": "{a}x{b}", "options": {"c": 0}, "sweep": {"a": [1, 2], "b": ["p", "q"]}})
    assert [point.name for point in points] == ["1xp", "1xq", "2xp", "2xq"]
    assert points[1].options == {"c": 0, "a": 1, "b": "q"}
