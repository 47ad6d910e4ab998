"""Reports: results as documents, pictures and plots for people, and as plain data for scripts."""
