// Package system tests Drover as its users meet it: the program itself, typed commands, real servers
// and real clients, in network namespaces that are wired as the tutorials draw them. The failures are
// real too: killed processes, flapped links, changed MACs, deleted namespaces.
package system
