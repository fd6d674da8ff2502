"""Which data helps: arms of one recipe, trained and scored alike, compared item by item, in one report."""
