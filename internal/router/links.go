package router

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"drover/internal/vrrp"
)

// lookAtLink gives what the kernel says of an interface. Its own address is the first that is no VIP.
func lookAtLink(name string, vips map[netip.Addr]bool) vrrp.Link {
	link, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return vrrp.Link{Reason: vrrp.LinkGone}
	}
	if err != nil {
		return vrrp.Link{Reason: "can't be looked at: " + err.Error()}
	}
	l := vrrp.Link{Up: true}
	switch a := link.Attrs(); {
	case a.Flags&net.FlagUp == 0:
		l.Up, l.Reason = false, "is down"
	case a.Flags&net.FlagRunning == 0:
		l.Up, l.Reason = false, "has no carrier"
	}
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return l
	}
	for _, a := range addresses {
		addr, ok := netip.AddrFromSlice(a.IP)
		if addr = addr.Unmap(); !ok || vips[addr] || a.Flags&tentative != 0 {
			continue
		}
		switch {
		case addr.Is4() && !l.Four.IsValid():
			l.Four = addr
		case addr.IsLinkLocalUnicast() && addr.Is6() && !l.Six.IsValid():
			l.Six = addr
		}
	}
	return l
}

// tentative is the flag of an IPv6 address whose duplicates are still looked for, or were found (IFA_F_TENTATIVE,
// IFA_F_DADFAILED).
const tentative = 0x40 | 0x08

// linksEvery is how often interfaces are looked at, should the kernel's news of them have got lost.
const linksEvery = 5 * time.Second

// watchLinks tells of interfaces that change, until ctx ends.
func (r *Router) watchLinks(ctx context.Context) {
	links, addresses := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	failed := func(err error) {
		if ctx.Err() == nil {
			r.options.Log.Warn("interfaces are looked at every few seconds only", "error", err)
		}
	}
	if err := netlink.LinkSubscribeWithOptions(links, ctx.Done(), netlink.LinkSubscribeOptions{ErrorCallback: failed}); err != nil {
		failed(err)
	}
	if err := netlink.AddrSubscribeWithOptions(addresses, ctx.Done(), netlink.AddrSubscribeOptions{ErrorCallback: failed}); err != nil {
		failed(err)
	}
	ticker := time.NewTicker(linksEvery)
	defer ticker.Stop()
	last := map[string]vrrp.Link{}
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-links:
			if !open {
				links = nil
			}
		case _, open := <-addresses:
			if !open {
				addresses = nil
			}
		case <-ticker.C:
		}
		r.mu.Lock()
		watched, vips := slices.Clone(r.watched), r.vips
		r.mu.Unlock()
		for _, name := range watched {
			if link := lookAtLink(name, vips); !reflect.DeepEqual(link, last[name]) {
				last[name] = link
				r.trackers.link(name, link)
				r.runner.SetLink(name, link)
			}
		}
	}
}
