"""The Prefect UI in Chromium: from the run form, filled in by hand, to what the run has made."""

STEPS = ("recording", "connectivity", "evaluation", "report")
ARTIFACTS = ("steps", "report-page", "scores", "figures", "connectivity")


def test_from_the_form_to_the_artifacts(page, own_server):
    deployment = own_server.deployment("local")
    page.goto(f"{own_server.url}/deployments/deployment/{deployment['id']}/run")
    look_at_the_form(page)

    field(page, "n units").fill("-5")
    submit(page)
    page.get_by_text("'recording.n_units'. Failure reason: -5 is less than").first.wait_for()

    wanted = ("network of 15", "Completed")
    field(page, "n units").fill("15")
    field(page, "duration (s)").fill("10")
    submit(page)
    run = own_server.wait_for_run(lambda run: (run["name"], run["state_name"]) == wanted)

    page.goto(f"{own_server.url}/runs/flow-run/{run['id']}")
    page.locator(".p-tag", has_text="connectivity").first.wait_for()
    tab(page, "Task Runs")
    for step in STEPS:
        page.get_by_role("link", name=step).first.wait_for()
    tab(page, "Artifacts")
    for name in ARTIFACTS:
        page.get_by_text(name, exact=True).first.wait_for()

    page.goto(f"{own_server.url}/artifacts/artifact/{artifact(own_server, run, 'figures')}")
    figure = page.locator("img[src^='data:image/png']").first
    figure.wait_for()
    assert figure.evaluate("image => image.naturalWidth") > 100  # it is drawn, not only there


def look_at_the_form(page):
    """Check kinds of recording, units, defaults and descriptions."""
    assert field(page, "duration (s)").input_value() == "600"
    page.get_by_text("Where tasks are executed: a profile's name").wait_for()
    shown = page.inner_text("body")
    for kind in ("simulated network", "path or URL", "artifact in the store"):
        assert kind in shown
    assert "Length of the recording, s, in steps of 0.1 ms. At least 0.0001" in shown
    assert "-----" not in shown  # notes of a docstring


def field(page, title):
    """Return the first input below a title."""
    titled = f"//label[.//span[normalize-space()='{title} (Optional)']]"
    block = "ancestor::div[contains(@class, 'schema-form-property')][1]"
    return page.locator(f"xpath={titled}/{block}//input").first


def submit(page):
    page.get_by_role("button", name="Submit").click()


def tab(page, name):
    page.locator(".p-tab", has_text=name).first.click()


def artifact(own_server, run, key):
    """Return the id of a run's artifact."""
    mine = {"id": {"any_": [run["id"]]}}
    made = own_server.api("artifacts/filter", flow_runs=mine)
    return next(item["id"] for item in made if item["key"] == key)
