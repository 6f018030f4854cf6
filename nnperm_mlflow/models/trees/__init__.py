"""Models of XGBoost, LightGBM and CatBoost, read from the files that these libraries write."""
