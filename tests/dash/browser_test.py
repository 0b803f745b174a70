#!/usr/bin/env python3
"""The dashboard in a real browser: figures live, nothing asked of anybody else, the chat box answers.

    browser_test.py LULL MODEL.gguf

Exits 77 (skipped) where there is no Chromium: ./test --browser installs it.
"""
import sys

import chromium
from lull_server import LullServer

EVIDENCE = '{"overall": "pass", "kind": "budget_bench", "id": "r-17", "time": "2026-01-02T03:04:05Z"}\n'
SECTIONS = ["cpu-title", "latency-title", "memory-title", "bus-title", "tokens-title", "queue-title",
            "host-title", "models-title", "evidence-title", "doctor-title", "requests-title", "chat-title"]
failures = []


def check(good, what):
    print(("ok    " if good else "FAILS ") + what)
    if not good:
        failures.append(what)


def text(browser, element):
    return browser.evaluate(f"document.getElementById('{element}').textContent")


def check_figures(browser, model):
    check(browser.wait_for("document.getElementById('state').textContent.includes('budget')"),
          "the figures arrive: " + text(browser, "state"))
    check("%" in text(browser, "cpu-now"), "CPU now: " + text(browser, "cpu-now"))
    check("35.0 %" in text(browser, "cpu-budget"), "the budget is named: " + text(browser, "cpu-budget"))
    check(model in text(browser, "summary"), "the model is named: " + text(browser, "summary"))
    check("r-17" in text(browser, "evidence"), "the last evidence is named")
    for section in SECTIONS:
        check(browser.evaluate(f"document.querySelector('[aria-labelledby={section}]').offsetHeight > 0"),
              "section " + section + " is there")


def check_chat(browser):
    browser.evaluate("document.getElementById('chat-input').value = 'hello there'")
    browser.evaluate("document.getElementById('chat-form').requestSubmit()")
    answered = ("document.querySelectorAll('#chat-log p').length === 2 && "
                "document.getElementById('chat-send').textContent === 'Send' && "
                "document.querySelector('#chat-log p:last-child span').textContent.length > 0")
    check(browser.wait_for(answered, 120), "the chat box streams an answer")
    check(not browser.evaluate("document.querySelector('#chat-log p:last-child span').textContent").endswith("]"),
          "without an error")
    check(browser.wait_for("Number(document.getElementById('tokens-total').textContent.match(/[0-9,]+/)[0]"
                           ".replace(',', '')) > 0", 20), "the tokens are counted: " + text(browser, "tokens-total"))
    check(browser.wait_for("document.querySelectorAll('#cpu-line path').length >= 2", 20), "the line is drawn")


def check_requests(browser):
    drawn = "document.querySelectorAll('#requests tr').length > 0"
    check(browser.wait_for(drawn, 20), "the request is listed")
    check(browser.evaluate("[...document.querySelectorAll('#requests .timeline span')]"
                           ".some((piece) => piece.getBoundingClientRect().width > 2)"), "with its timeline")


def check_manners(browser, url):
    strangers = [address for address in browser.requested()
                 if not address.startswith((url + "/", "data:", "about:"))]
    check(not strangers, f"nobody else is asked {strangers}")
    check(not browser.problems(), f"no errors, no violations of the policy {browser.problems()}")
    small = browser.evaluate("[...document.querySelectorAll('*')].filter((e) => "
                             "e.children.length === 0 && e.textContent.trim() && e.offsetParent && "
                             "parseFloat(getComputedStyle(e).fontSize) < 12).length")
    check(small == 0, f"no text smaller than 12 px ({small})")
    unnamed = browser.evaluate("[...document.querySelectorAll('button')].filter((b) => "
                               "!b.textContent.trim() && !b.getAttribute('aria-label')).length")
    check(unnamed == 0, "every button has a name")
    wide = browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    check(wide, "nothing is wider than the window")


def check_hidden_page_is_silent(browser):
    """Polling goes by the page's visibility."""
    browser.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true}); "
                     "document.dispatchEvent(new Event('visibilitychange'))")
    browser.evaluate("new Promise((done) => setTimeout(done, 1500))")
    before = len([u for u in browser.requested() if u.endswith("/dash/stats")])
    browser.evaluate("new Promise((done) => setTimeout(done, 3000))")
    after = len([u for u in browser.requested() if u.endswith("/dash/stats")])
    check(after == before, f"a hidden page asks nothing ({before}, {after})")


def check_contrast(browser):
    """WCAG AA: 4.5 to 1 for text on its card."""
    worst = browser.evaluate("""(() => {
      const light = (c) => {
        const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const ground = (e) => {
        for (; e; e = e.parentElement) {
          const c = getComputedStyle(e).backgroundColor;
          if (!/rgba\\(.*, 0\\)/.test(c) && c !== 'transparent') return c;
        }
        return 'rgb(255, 255, 255)';
      };
      let worst = [99, ''];
      for (const e of document.querySelectorAll('body *')) {
        if (!e.offsetParent || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < worst[0]) worst = [ratio, e.textContent.slice(0, 40)];
      }
      return worst;
    })()""")
    check(worst[0] >= 4.5, f"contrast of text, at worst {worst[0]:.2f} ({worst[1]!r})")


def main(lull, model):
    path = chromium.find()
    if path is None:
        print("no Chromium: skipped (./test --browser installs it)")
        return 77
    import tempfile
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as evidence:
        evidence.write(EVIDENCE)
        evidence.flush()
        with LullServer(lull, model, "--cpu", "35%", "--cpu-p99", "50%", "--evidence", evidence.name) as server:
            for dark in (False, True):
                with chromium.Chromium(path, dark=dark) as browser:
                    browser.open(server.url + "/dash")
                    check_figures(browser, model.rsplit("/", 1)[-1].removesuffix(".gguf"))
                    check_contrast(browser)
                    if not dark:
                        check_chat(browser)
                        check_requests(browser)
                        check_manners(browser, server.url)
                        check_hidden_page_is_silent(browser)
            with chromium.Chromium(path, width=360, height=800) as browser:
                browser.open(server.url + "/dash")
                check(browser.wait_for("document.getElementById('state').textContent.includes('budget')"),
                      "a narrow window")
                check(browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth"),
                      "fits a telephone")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
