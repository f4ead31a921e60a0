"""Templates of HTML pages: one way to load them for all steps that write a page."""

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def load_template(package: str, name: str = "page.html.j2") -> Template:
    """Load a template of a package: values are escaped, and one that is missing raises."""
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
