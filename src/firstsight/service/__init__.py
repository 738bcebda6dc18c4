"""The service: recognition over HTTP, with pages. docs/service.md, docs/api.md."""
