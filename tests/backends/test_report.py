import keras
from backend import gpu

from keras_spiking import config
from keras_spiking.backends import __main__ as report_module
from keras_spiking.backends.kernels import compiler


def test_names_backend_mode_and_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(tmp_path))
    monkeypatch.setattr(config, "_fused", "auto")
    rows = dict(report_module.report())
    assert rows["backend"].startswith(keras.config.backend())
    assert "'auto'" in rows["mode"]
    assert rows["cache"].startswith(str(tmp_path))
    assert rows["kernel calls"] and rows["CUDA"]
    assert "KERAS_SPIKING_EVENT_DRIVEN)" in rows["products"]
    assert gpu() or "; over the non-zeros" in rows["products"]


def test_says_what_serves_a_layer(monkeypatch):
    monkeypatch.setattr(config, "_fused", "auto")
    finding = dict(report_module.report())["LIFLayer"]
    assert finding.startswith("fused: ")


def test_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(config, "_fused", "auto")
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    rows = dict(report_module.report())
    assert "install gcc or clang" in rows["C compiler"]
    assert "flags" not in rows
    assert rows["LIFLayer"].startswith("reference: ")
    assert "no C compiler" in rows["LIFLayer"]
    assert "dense, since there is no C compiler" in rows["products"]


def test_says_that_a_layer_does_not_run(monkeypatch):
    monkeypatch.setattr(config, "_fused", "always")
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    assert dict(report_module.report())["LIFLayer"].startswith("does not run: Runtime")


def test_prints_one_line_each(capsys):
    report_module.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(report_module.report())
