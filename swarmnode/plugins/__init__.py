"""Built-in plug-in descriptions; third parties put files beside them."""
