import json

from benchmarks import convolution


def test_the_benchmark_compares_both_formulations(monkeypatch, capsys):
    small = (("depthwise", (1, 6, 7, 4), (3, 3, 1, 4), 1),)
    monkeypatch.setattr(convolution, "CASES", small)
    convolution.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["what"] for line in lines] == [
        "depthwise, native",
        "depthwise, shifts",
    ]
    assert lines[1]["ratio"] > 0
