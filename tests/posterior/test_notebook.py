"""What a notebook shows of reports, posteriors and many fits."""

import html.parser

import pytest
import tensorflow as tf

import gmmvi_ext
from gmmvi_ext.notebook import html_table


class Balanced(html.parser.HTMLParser):
    """Fails at a tag that closes another one; gathers the text."""

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(page: str) -> str:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return " ".join(parser.text)


@pytest.fixture(scope="module")
def posterior():
    return gmmvi_ext.fit(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), 2, verbose=False)


def test_a_report_shows_verdict_figures_and_tables(posterior):
    report = posterior.report(500)
    text = text_of(report._repr_html_())
    assert report.verdict in text
    for words in ("Pareto k-hat", "Parameters", "Modes", "x[0]", "x[1]"):
        assert words in text


def test_a_posterior_shows_the_last_report(posterior):
    without = gmmvi_ext.Posterior(posterior.mixture)
    assert text_of(without._repr_html_()) == repr(without)
    posterior.report(500)
    assert "Pareto k-hat" in text_of(posterior._repr_html_())


def test_names_are_text_and_no_markup():
    page = html_table(["<b>", "n"], [["<script>alert(1)</script>", "&"]])
    assert "<script>" not in page
    assert "<b>" not in page
    assert "<script>alert(1)</script>" in text_of(page)
