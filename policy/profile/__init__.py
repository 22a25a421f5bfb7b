"""What a profile may say: the syntax, every option of OpenVPN, overrides, PKCS#11 providers."""
