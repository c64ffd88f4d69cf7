package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"drover/internal/config"
	"drover/internal/director"
)

// Bounds on a web hook's call.
const (
	hookTimeout = 10 * time.Second
	hookTries   = 4
)

// callHooks calls the web hooks with an event. Single failures of checks, which change nothing yet, are not told.
func (n *Notifier) callHooks(e director.Event) {
	if e.Kind == director.KindCheck {
		return
	}
	router := n.config.Global.RouterID
	for hook, q := range n.hooks {
		n.put(q, func(ctx context.Context) { n.call(ctx, &hook, router, &e) })
	}
}

func (n *Notifier) call(ctx context.Context, hook *config.Webhook, router string, e *director.Event) {
	var err error
	for try := range hookTries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second << (try - 1)):
			}
		}
		if err = post(ctx, hook, router, e); err == nil {
			return
		}
	}
	n.log.Error("web hook is not told", "url", hook.URL, "error", err)
}

func post(ctx context.Context, hook *config.Webhook, router string, e *director.Event) error {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	address, content, err := hookBody(hook, router, e, time.Now())
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", response.Status, answer)
	}
	return nil
}

// hookBody gives what a kind of web hook wants to hear, and where: "generic" the event in JSON, the others a robot's text
// message, signed where the hook has a secret.
func hookBody(hook *config.Webhook, router string, e *director.Event, now time.Time) (address string, content []byte, err error) {
	text := fmt.Sprintf("[%s] %s", router, e.Message)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	address = hook.URL
	var body any
	switch hook.Kind {
	case "dingtalk":
		body = map[string]any{"msgtype": "text", "text": map[string]string{"content": text}}
		if hook.Secret != "" {
			stamp := strconv.FormatInt(now.UnixMilli(), 10)
			if address, err = withQuery(address, "timestamp", stamp, "sign", sign(hook.Secret, stamp+"\n"+hook.Secret)); err != nil {
				return "", nil, err
			}
		}
	case "wecom":
		body = map[string]any{"msgtype": "text", "text": map[string]string{"content": text}}
	case "feishu":
		message := map[string]any{"msg_type": "text", "content": map[string]string{"text": text}}
		if hook.Secret != "" {
			stamp := strconv.FormatInt(now.Unix(), 10)
			message["timestamp"], message["sign"] = stamp, sign(stamp+"\n"+hook.Secret, "")
		}
		body = message
	default:
		body = struct {
			Director string `json:"director"`
			*director.Event
		}{router, e}
	}
	content, err = json.Marshal(body)
	return address, content, err
}

// sign is base64 of HMAC-SHA256.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func withQuery(address string, pairs ...string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	query := u.Query()
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}
