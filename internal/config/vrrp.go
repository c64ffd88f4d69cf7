package config

// VRRP is all that a configuration says of VRRP.
type VRRP struct{}
