// Package notify tells others what happens to the pools: programs, pipes, mail, web hooks. None of them can hold up the
// director: each has a queue of its own, and what does not fit in is dropped and counted.
package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"drover/internal/config"
	"drover/internal/director"
)

// queueLength is how many events wait for one receiver.
const queueLength = 1024

// A Notifier tells events to whom the configuration in force names.
type Notifier struct {
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex // protects what follows
	config    *config.Config
	scripts   *queue
	mail      *queue
	hooks     map[config.Webhook]*queue
	pipes     map[string]*pipe // by path
	closed    bool
	receivers sync.WaitGroup
}

// New gives a Notifier that tells nobody before Set.
func New(log *slog.Logger) *Notifier {
	ctx, cancel := context.WithCancel(context.Background())
	n := &Notifier{log: log, ctx: ctx, cancel: cancel, config: &config.Config{}, hooks: map[config.Webhook]*queue{}, pipes: map[string]*pipe{}}
	n.scripts = n.newQueue("notify scripts")
	n.mail = n.newQueue("mail")
	return n
}

// A queue is the jobs for one receiver, done one after the other.
type queue struct {
	name    string
	jobs    chan func(context.Context)
	dropped bool // the last one did not fit in, which was said
	stop    context.CancelFunc
}

func (n *Notifier) newQueue(name string) *queue {
	ctx, stop := context.WithCancel(n.ctx)
	q := &queue{name: name, jobs: make(chan func(context.Context), queueLength), stop: stop}
	n.receivers.Go(func() {
		defer stop()
		for {
			select {
			case <-ctx.Done():
				return
			case job, open := <-q.jobs:
				if !open {
					return
				}
				job(ctx)
			}
		}
	})
	return q
}

// put adds a job, if there is room.
func (n *Notifier) put(q *queue, job func(context.Context)) {
	select {
	case q.jobs <- job:
		q.dropped = false
	default:
		if !q.dropped {
			q.dropped = true
			n.log.Error("events are dropped: what is to be told of them is too slow", "receiver", q.name, "waiting", queueLength)
		}
	}
}

// Set makes a configuration the one in force. Receivers that stay keep what waits for them.
func (n *Notifier) Set(c *config.Config) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.config = c
	wanted := map[config.Webhook]bool{}
	for _, hook := range c.Drover.Webhooks {
		hook.At = config.Position{}
		wanted[hook] = true
		if n.hooks[hook] == nil {
			n.hooks[hook] = n.newQueue("web hook " + hook.URL)
		}
	}
	for hook, q := range n.hooks {
		if !wanted[hook] {
			close(q.jobs)
			delete(n.hooks, hook)
		}
	}
	n.setPipes()
}

// Tell tells an event.
func (n *Notifier) Tell(e director.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	n.runScripts(e)
	n.writePipes(e)
	n.sendMail(e)
	n.callHooks(e)
}

// Close has what waits done, for at most a while, and ends all receivers.
func (n *Notifier) Close(patience time.Duration) {
	n.mu.Lock()
	n.closed = true
	for _, q := range append([]*queue{n.scripts, n.mail}, n.hookQueues()...) {
		close(q.jobs)
	}
	n.closePipes()
	n.mu.Unlock()
	done := make(chan struct{})
	go func() {
		n.receivers.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		n.log.Warn("not everybody was told before the end")
	}
	n.cancel()
	<-done
}

func (n *Notifier) hookQueues() []*queue {
	var list []*queue
	for _, q := range n.hooks {
		list = append(list, q)
	}
	return list
}
