package checker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// LoadTLS reads what SSL_GET presents and trusts: files in PEM, each of which may be left out. The password is that of
// a key in the old encrypted form (RFC 1421); keys in PKCS #8 are to be without.
func LoadTLS(key, certificate, ca, password string) (*TLS, error) {
	t := &TLS{}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in PEM", ca)
		}
		t.CA = text
	}
	if key == "" && certificate == "" {
		return t, nil
	}
	if key == "" || certificate == "" {
		return nil, errors.New("want both key and certificate, or neither")
	}
	certText, err := os.ReadFile(certificate)
	if err != nil {
		return nil, err
	}
	keyText, err := os.ReadFile(key)
	if err != nil {
		return nil, err
	}
	if keyText, err = decrypt(keyText, password); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certificate, key, err)
	}
	t.Certificates = []tls.Certificate{pair}
	sum := sha256.Sum256(append(certText, keyText...))
	t.Print = hex.EncodeToString(sum[:])
	return t, nil
}

func decrypt(text []byte, password string) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM")
	}
	//nolint:staticcheck // keepalived's users have such keys; who wants safety keeps the file from others
	if !x509.IsEncryptedPEMBlock(block) {
		return text, nil
	}
	//nolint:staticcheck // as above
	der, err := x509.DecryptPEMBlock(block, []byte(password))
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: der}), nil
}

// config gives the client's side of TLS for a server name.
func (t *TLS) config(name string) *tls.Config {
	c := &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // as keepalived's
	if t == nil {
		return c
	}
	c.Certificates = t.Certificates
	if len(t.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
		c.RootCAs.AppendCertsFromPEM(t.CA)
		c.VerifyConnection = func(state tls.ConnectionState) error {
			chain := x509.NewCertPool()
			for _, cert := range state.PeerCertificates[1:] {
				chain.AddCert(cert)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: c.RootCAs, Intermediates: chain})
			return err
		}
	}
	return c
}
