"""What files of this machine say of other programs; the service and ovpnctl both read them."""
