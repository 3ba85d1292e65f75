"""The pages: templates, styles, scripts, and the routes that render them."""
