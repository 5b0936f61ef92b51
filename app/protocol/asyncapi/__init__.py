"""Sockets and streams as an AsyncAPI 3.0 document, made from the declarations of the protocol and its dialects."""

from app.protocol.asyncapi.document import asyncapi_document

__all__ = ["asyncapi_document"]
