"""The pages, and what every answer tells a browser; looked at in a real one."""

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from serve_app.api.pages import page

PAGES = ["/", "/docs"]
OTHERS = ["/health", "/openapi.json", "/task/nobody", "/nowhere", "/static-offline-docs/swagger-ui.css"]


def policy(response):
    directives = response.headers["content-security-policy"].split("; ")
    return dict(directive.split(" ", 1) for directive in directives)


def complaints(browser):
    """What the browser wrote to its console."""
    return [entry["message"] for entry in browser.get_log("browser")]


def wait_for(browser, condition):
    return WebDriverWait(browser, 60).until(lambda _: condition())


class TestEveryAnswer:
    @pytest.mark.parametrize("path", PAGES + OTHERS)
    def test_is_taken_for_what_it_says_it_is(self, service, path):
        headers = service.http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "private"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]

    @pytest.mark.parametrize("path", OTHERS)
    def test_that_is_no_page_runs_and_loads_nothing(self, service, path):
        assert policy(service.http.get(path)) == {"default-src": "'none'", "frame-ancestors": "'none'"}

    @pytest.mark.parametrize("path", PAGES)
    def test_that_is_a_page_names_its_scripts_one_by_one(self, service, path):
        sources = policy(service.http.get(path))
        assert sources["default-src"] == "'none'"
        assert "unsafe" not in sources["script-src"] + sources["style-src"]
        assert "'sha256-" in sources["script-src"]


def test_the_policy_names_every_inline_script_and_style():
    text = "<style>a{}</style><script>1</script><script src='/x.js'></script><script>\n2\n</script>"
    sources = policy(page(text))
    assert sources["script-src"].count("sha256-") == 2
    assert sources["style-src"].count("sha256-") == 1


class TestInABrowser:
    def test_the_landing_page_tells_the_address_and_the_engine(self, service, browser):
        browser.get(service.url)
        engine = browser.find_element(By.ID, "engine")
        wait_for(browser, lambda: "made by the preview engine" in engine.text)
        assert browser.find_element(By.ID, "origin").text == service.url
        width = browser.execute_script("return getComputedStyle(document.body).maxWidth")
        assert width.endswith("px")
        assert complaints(browser) == []

    def test_the_documentation_is_drawn_and_tries_routes_out(self, service, browser):
        browser.get(f"{service.url}/docs")
        operation = wait_for(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "[id$='health_get']"))[0]
        operation.find_element(By.TAG_NAME, "button").click()
        wait_for(browser, lambda: operation.find_elements(By.CLASS_NAME, "try-out__btn"))[0].click()
        wait_for(browser, lambda: operation.find_elements(By.CLASS_NAME, "execute"))[0].click()
        wait_for(browser, lambda: '"alive": true' in operation.text)
        assert complaints(browser) == []

    def test_a_script_that_got_into_a_page_does_not_run(self, service, browser):
        browser.get(service.url)
        browser.execute_script(
            "const script = document.createElement('script');"
            "script.textContent = 'window.intruded = true'; document.body.append(script);"
        )
        assert browser.execute_script("return window.intruded") is None
        assert any("Content Security Policy" in complaint for complaint in complaints(browser))

    def test_no_other_page_can_frame_ours(self, service, browser, tmp_path):
        frame = tmp_path / "frame.html"
        frame.write_text(f'<iframe src="{service.url}/docs"></iframe>')
        browser.get(frame.as_uri())
        wait_for(browser, lambda: any("frame-ancestors" in complaint for complaint in complaints(browser)))
