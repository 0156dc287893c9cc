"""What several protocols share on the wire: length-prefixed messages and protobuf classes."""
