"""A model made better on given images, from few, wrong or no labels: what trains, what judges, what is handed back."""
