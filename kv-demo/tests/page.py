"""Drives the page to look at in headless Chromium, with the events of a reader.

usage: page.py REPORT.HTML...
"""

import pathlib
import sys
import time

from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

# What the issue allows for 64 nodes and four modes.
PAGE_BYTES_MAX = 2_000_000
# No wait is longer; none takes this long when all is well.
PATIENCE_S = 20


def start_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    # Chromium has no sandbox for root, and a container's /dev/shm is small.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1200"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class Page:
    """The page as a reader sees it."""

    def __init__(self, browser, path):
        self.browser = browser
        self.url = path.resolve().as_uri()
        browser.get(self.url)
        self.until("panels are drawn", lambda: len(self.panels()) > 0)

    def until(self, what, condition):
        WebDriverWait(self.browser, PATIENCE_S, 0.02).until(lambda _: condition(), f"waited in vain: {what}")

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def panels(self):
        return self.browser.find_elements(By.CSS_SELECTOR, ".panel")

    def slider(self):
        return int(self.one("#slider").get_property("value"))

    def infected(self):
        """How many nodes are drawn as infected, by mode."""
        count = lambda panel: len(panel.find_elements(By.CSS_SELECTOR, ".node.has"))
        return {panel.get_attribute("data-mode"): count(panel) for panel in self.panels()}

    def nodes(self):
        return {panel.get_attribute("data-mode"): int(panel.get_attribute("data-nodes")) for panel in self.panels()}

    def live(self):
        """How many nodes are up now, by mode."""
        return {panel.get_attribute("data-mode"): int(panel.get_attribute("data-live")) for panel in self.panels()}

    def button(self):
        return self.one("#play").text

    def press(self, *keys):
        ActionChains(self.browser).send_keys(*keys).perform()


def check_start(page):
    assert page.slider() == 0, "the replay begins at its beginning"
    assert page.button() == "Play"
    assert set(page.infected().values()) == {1}, f"only the creators have it: {page.infected()}"
    for panel in page.panels():
        discs = panel.find_elements(By.CSS_SELECTOR, ".node .disc")
        assert len(discs) == int(panel.get_attribute("data-nodes")), "every node is drawn"


def check_play_and_pause(page):
    Select(page.one("#seconds")).select_by_value("3")
    before = sum(page.infected().values())
    page.one("#play").click()
    assert page.button() == "Pause"
    page.until("playing moves the slider", lambda: page.slider() > 0)
    page.until("playing infects nodes", lambda: sum(page.infected().values()) > before)
    page.one("#play").click()
    assert page.button() == "Play"
    stopped = (page.slider(), page.infected())
    time.sleep(0.4)
    assert (page.slider(), page.infected()) == stopped, "a pause holds everything"
    assert 0 < stopped[0] < 1000, f"paused under way: {stopped}"


def check_space(page):
    page.browser.execute_script("document.activeElement.blur()")
    before = page.slider()
    page.press(Keys.SPACE)
    page.until("space plays", lambda: page.slider() > before)
    page.press(Keys.SPACE)
    assert page.button() == "Play", "space pauses"


def check_playing_to_the_end(page):
    page.one("#play").click()
    page.until("the replay ends by itself", lambda: page.button() == "Play")
    assert page.slider() == 1000
    assert page.infected() == page.live(), "the last frame shows every node infected"


def check_slider(page):
    slider = page.one("#slider")
    slider.send_keys(Keys.HOME)
    assert page.slider() == 0 and set(page.infected().values()) == {1}, "back at the beginning"
    slider.send_keys(Keys.END)
    assert page.slider() == 1000
    assert page.infected() == page.live(), "the last frame shows every node infected"
    slider.send_keys(Keys.ARROW_LEFT)
    assert page.slider() == 999
    seen = []
    width = slider.size["width"]
    for share in (-0.25, 0.0, 0.25):
        # A pointer on the slider, as a reader would drag it there.
        hand = ActionChains(page.browser).move_to_element_with_offset(slider, int(share * width), 0)
        hand.click().perform()
        seen.append((page.slider(), sum(page.infected().values())))
    assert seen == sorted(seen) and seen[0][0] > 150 and seen[2][0] < 850, f"in order: {seen}"


def check_flights(page):
    """Somewhere on the way, copies are drawn."""
    slider = page.one("#slider")
    slider.send_keys(Keys.HOME)
    canvases = page.browser.find_elements(By.CSS_SELECTOR, ".panel canvas")
    most = 0
    for _ in range(10):
        most = max([most, *(int(canvas.get_attribute("data-flying")) for canvas in canvases)])
        slider.send_keys(Keys.PAGE_UP)
    assert most > 0, "copies fly"


def check_hover(page):
    page.one("#slider").send_keys(Keys.END)
    for panel in page.panels():
        node = panel.find_elements(By.CSS_SELECTOR, ".node:not(.down)")[-1]
        page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
        ActionChains(page.browser).move_to_element(node).perform()
        tip = page.one("#tip")
        page.until("a tooltip opens", tip.is_displayed)
        text = tip.text
        number = int(node.get_attribute("data-node")) + 1
        assert f"Node{number}" in text and "infected at" in text, text
        check_infector(page, panel, text)
        path = panel.find_element(By.CSS_SELECTOR, ".way:not(.edge)").get_attribute("d")
        assert path.startswith("M"), "the way back to the creator is drawn"
        ActionChains(page.browser).move_to_element(page.one("h1")).perform()
        page.until("the tooltip closes", lambda: not tip.is_displayed())


def check_infector(page, panel, text):
    """The tooltip names who infected the node, and the names lead back to the creator."""
    lines = text.splitlines()
    infector = next(line for line in lines if line.startswith("by "))
    name = infector.removeprefix("by ").split(",")[0]
    assert name.startswith("Node") and "hop" in infector, infector
    way = lines[-1].split(" ← ")
    assert way[1] == name and way[-1] == "Node1", way


def told_links(page):
    return page.browser.find_elements(By.CSS_SELECTOR, ".panel[data-tells='links']")


def path_of(panel, selector):
    return panel.find_element(By.CSS_SELECTOR, selector).get_attribute("d") or ""


def check_links(page):
    """Links are told apart by their dashes, and the rumour's way grows upon them."""
    legend = {item.text for item in page.browser.find_elements(By.CSS_SELECTOR, "#legend li") if item.is_displayed()}
    named = {"eager link: payload", "lazy link: ids alone", "floor: payload", "floor: ids alone", "the rumour’s way"}
    if not told_links(page):
        assert not named & legend, f"the legend names what is not there: {legend}"
        return
    assert named <= legend, f"the legend lacks {named - legend}"
    slider = page.one("#slider")
    for panel in told_links(page):
        page.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)
        slider.send_keys(Keys.HOME)
        assert twigs_of(panel) == 0, "the way has not begun"
        grown = []
        for _ in range(10):
            slider.send_keys(Keys.PAGE_UP)
            grown.append(twigs_of(panel))
        assert grown == sorted(grown) and grown[-1] == int(panel.get_attribute("data-infected")) - 1, grown
        assert path_of(panel, ".link.eager:not(.floor)"), "links that carried payloads"
        kinds = (".link.lazy:not(.floor)", ".link.floor.lazy", ".link.floor.eager", ".link.floor.asked")
        assert any(path_of(panel, kind) for kind in kinds), "links that did not, or of the floor"
        uses = ("eager", "asked", "lazy", "floor eager", "floor lazy", "lost")
        dashes = [dashes_of(page, panel, use) for use in uses]
        assert len(set(dashes)) == len(uses), f"told apart without colours: {dashes}"


def twigs_of(panel):
    """Of how many links the way consists that is drawn."""
    return path_of(panel, ".twig.edge").count("Q")


def dashes_of(page, panel, use):
    path = panel.find_element(By.CSS_SELECTOR, f".link[class='link {use}']")
    return page.browser.execute_script("return getComputedStyle(arguments[0]).strokeDasharray", path)


def check_faults(page):
    """Who is down is crossed out and its links with it; who is cut off, and by whom, can be seen and read."""
    page.one("#slider").send_keys(Keys.HOME)
    for panel in page.panels():
        down = panel.find_elements(By.CSS_SELECTOR, ".node.down")
        assert len(down) == int(panel.get_attribute("data-down"))
        if not down:
            continue
        assert all(node.find_element(By.CSS_SELECTOR, ".cross").is_displayed() for node in down)
        assert path_of(panel, ".link.lost"), "links of the dead are lost"
        assert "down since" in asked(page, down[0]), page.one("#tip").text
        check_cut(page, panel)
        page.press(Keys.ESCAPE)


def check_cut(page, panel):
    parts = int(panel.get_attribute("data-parts"))
    by = panel.find_elements(By.CSS_SELECTOR, ".node.rifts")
    off = panel.find_elements(By.CSS_SELECTOR, ".node.off")
    assert (parts > 1) == (len(by) > 0) == (len(off) > 0), f"{parts} parts, by {len(by)}, off {len(off)}"
    if parts > 1:
        assert f"{parts} parts" in panel.find_element(By.CSS_SELECTOR, ".state").text
        assert by[0].find_element(By.CSS_SELECTOR, ".rift").is_displayed()
        assert "links fall apart" in asked(page, by[0]), page.one("#tip").text
        assert "cut off" in asked(page, off[0]), page.one("#tip").text


def asked(page, node):
    """What the tooltip says of a node that has the focus."""
    page.browser.execute_script("arguments[0].focus()", node)
    return page.one("#tip").text


def check_kinds(page):
    """All that the data tells of is painted: copies by kind and fate, ids, requests."""
    page.browser.execute_script("""
        document.activeElement.blur();
        window.seen = new Set();
        const note = (canvas) => canvas.dataset.kinds.split(" ").forEach((kind) => seen.add(kind));
        const watch = new MutationObserver((changes) => changes.forEach((change) => note(change.target)));
        for (const canvas of document.querySelectorAll(".panel canvas")) {
          watch.observe(canvas, { attributes: true, attributeFilter: ["data-kinds"] });
        }
    """)
    Select(page.one("#seconds")).select_by_value("6")
    page.one("#slider").send_keys(Keys.HOME)
    check_playing_to_the_end(page)
    seen = set(page.browser.execute_script("return [...seen]")) - {""}
    flying = set(page.browser.execute_script("""
        const film = JSON.parse(document.getElementById("data").textContent);
        const network = film.networks[document.getElementById("network").value];
        return network.runs.flatMap((run) => run.flights.filter((_, i) => i % 6 === 3)).map((kind) => film.kinds[kind]);
    """))
    fates = {"infects", "known", "lost", "said"}
    assert seen - fates == flying, f"painted {seen}, there are {flying}"
    if any(panel.get_attribute("data-parts") not in (None, "1") for panel in told_links(page)):
        assert {"now", "repair", "ids", "wish", "infects", "lost"} <= seen, f"a cut that is mended: {seen}"


def check_keyboard(page):
    """A node can be asked without a pointer."""
    creator = page.one(".panel .node[tabindex='0']")
    page.browser.execute_script("arguments[0].focus()", creator)
    assert "created the rumour" in page.one("#tip").text
    page.press(Keys.ARROW_RIGHT)
    assert "Node2" in page.one("#tip").text, page.one("#tip").text
    page.press(Keys.ESCAPE)
    assert not page.one("#tip").is_displayed()


def check_scales(page):
    page.one("#slider").send_keys(Keys.HOME)
    for scale in ("linear", "log"):
        Select(page.one("#scale")).select_by_value(scale)
        page.one("#slider").send_keys(Keys.END)
        assert page.infected() == page.live(), f"the end is the end in {scale} time"


def check_networks(page):
    """Each network of the experiment can be chosen, and ends with everybody infected."""
    choice = Select(page.one("#network"))
    # The first one last: a choice that is already made is none.
    for index in reversed(range(len(choice.options))):
        if len(choice.options) > 1:
            choice.select_by_index(index)
            assert page.slider() == 0, "another network begins at its beginning"
        slider = page.one("#slider")
        slider.send_keys(Keys.HOME)
        assert set(page.infected().values()) == {1}, page.infected()
        slider.send_keys(Keys.END)
        assert page.infected() == page.live(), choice.options[index].text


def check_below(page):
    rows = page.browser.find_elements(By.CSS_SELECTOR, "tbody th[scope='row']")
    assert {row.text for row in rows} >= set(page.nodes()), "the table has every mode"
    plots = page.browser.find_elements(By.CSS_SELECTOR, "figure svg")
    assert len(plots) >= 2 and all(plot.size["width"] > 100 for plot in plots), "the plots are there"


def check_loads_nothing(page):
    entries = page.browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert entries == [], f"loaded: {entries}"
    asked = [entry["message"] for entry in page.browser.get_log("performance")]
    asked = [message for message in asked if '"Network.requestWillBeSent"' in message]
    assert asked and all(page.url in message for message in asked), f"asked for: {asked}"
    complaints = page.browser.get_log("browser")
    assert complaints == [], f"the console says: {complaints}"


def check_calm(browser, path):
    """Who asked for less motion can still play to the end."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    page = Page(browser, path)
    Select(page.one("#seconds")).select_by_value("3")
    check_playing_to_the_end(page)


CHECKS = [
    check_start,
    check_play_and_pause,
    check_space,
    check_playing_to_the_end,
    check_slider,
    check_flights,
    check_hover,
    check_links,
    check_faults,
    check_kinds,
    check_keyboard,
    check_scales,
    check_networks,
    check_below,
    check_loads_nothing,
]


def drive(path):
    size = path.stat().st_size
    assert size <= PAGE_BYTES_MAX, f"{path} has {size} bytes"
    browser = start_browser()
    try:
        page = Page(browser, path)
        networks = len(Select(page.one("#network")).options)
        print(f"{path}: {size} bytes, {networks} network(s), nodes {page.nodes()}", flush=True)
        for check in CHECKS:
            check(page)
            print(f"  {check.__name__.removeprefix('check_').replace('_', ' ')}: ok", flush=True)
        check_calm(browser, path)
        print("  calm: ok", flush=True)
    finally:
        browser.quit()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        drive(pathlib.Path(argument))
