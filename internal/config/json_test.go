package config

import (
	"bytes"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWriteJSON: names and shapes stay, so that programs can rely on them: times in seconds, lists also of one.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	c, _, err := Load(writeFile(t, `global_defs {
 router_id lvs1
}
vrrp_instance VI_1 {
 interface eth0
 virtual_router_id 51
 advert_int 0.5
 version 3
 virtual_ipaddress {
  192.0.2.100
 }
}
virtual_server 192.0.2.100 80 {
 lb_algo rr
 lb_kind DR
 protocol TCP
 quorum 60%
 sorry_server 192.0.2.19 80
 real_server 192.0.2.11 80 {
  HTTP_GET {
   url {
    path /
   }
   delay_before_retry 0.25
  }
 }
}
`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.File = "FILE"
	var got bytes.Buffer
	if err := c.WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "name": "FILE",
  "router_id": "lvs1",
  "virtual_servers": [
    {
      "name": "[192.0.2.100]:tcp:80",
      "scheduler": "rr",
      "quorum": "60 %",
      "sorry_server": {
        "name": "[192.0.2.19]:tcp:80",
        "forwarding": "Route",
        "weight": 1
      },
      "real_servers": [
        {
          "name": "[192.0.2.11]:tcp:80",
          "forwarding": "Route",
          "weight": 1,
          "mail": true,
          "checks": [
            {
              "name": "HTTP_GET",
              "connect_to": "192.0.2.11:80",
              "connect_timeout": 5,
              "delay_loop": 60,
              "warmup": 60,
              "retry": 1,
              "delay_before_retry": 0.25,
              "protocol": "1.0",
              "urls": [
                {
                  "name": "/"
                }
              ]
            }
          ]
        }
      ]
    }
  ],
  "vrrp_instances": [
    {
      "name": "VI_1",
      "interface": "eth0",
      "virtual_router_id": 51,
      "version": 3,
      "priority": 100,
      "state": "BACKUP",
      "advert_interval": 0.5,
      "down_after_adverts": 3,
      "adverts_to": "224.0.0.18",
      "arps_of_a_set": 5,
      "second_set_after": 5,
      "addresses": [
        "192.0.2.100/32"
      ]
    }
  ]
}
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLoadAtOnce: a reload and a plan may read files at the same time.
func TestLoadAtOnce(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "virtual_server 192.0.2.1 80 {\n real_server 192.0.2.2 80 {\n HTTP_GET {\n url {\n path /\n }\n }\n }\n}\nvrrp_instance V {\n virtual_ipaddress {\n 192.0.2.1\n }\n}\n")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := Load(file, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
