"""Pictures, objects, patches and prompts: what is asked, of which objects, under which conditions."""
