"""What pages and the HTTP interface share: sessions, jobs, models, samples, links."""
