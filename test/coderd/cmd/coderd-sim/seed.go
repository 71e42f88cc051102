// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/coder-session-operator/coder-session-operator/test/coderd"
)

// seedFile is what --seed reads:
//
//	{"users": [{"username": "operator", "roles": ["owner"]}],
//	 "tokens": [{"user": "operator", "name": "bootstrap", "lifetime": "144h"}],
//	 "token_file": "tokens.json"}
//
// The values go to the token file as {"operator/bootstrap": "<value>"}, readable by its owner only.
type seedFile struct {
	Users     []coderd.SeedUser  `json:"users"`
	Tokens    []coderd.SeedToken `json:"tokens"`
	TokenFile string             `json:"token_file"`
}

var errNoTokenFile = errors.New("tokens to create, but no token_file and no --seed-tokens to write them to")

// seedServer creates what a file lists; "" is no file. tokenFile, unless "", overrides the file's
// token_file.
func seedServer(server *coderd.Server, path, tokenFile string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the seed: %w", err)
	}
	var in seedFile
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		return fmt.Errorf("reading the seed: %w", err)
	}
	if tokenFile == "" {
		tokenFile = in.TokenFile
	}
	for _, u := range in.Users {
		if _, err := server.CreateUser(u.Options()); err != nil {
			return fmt.Errorf("seeding: %w", err)
		}
	}
	if len(in.Tokens) == 0 {
		return nil
	}
	if tokenFile == "" {
		return errNoTokenFile
	}
	return seedTokens(server, in.Tokens, tokenFile)
}

func seedTokens(server *coderd.Server, tokens []coderd.SeedToken, path string) error {
	values := map[string]string{}
	for _, t := range tokens {
		options, err := t.Options()
		if err != nil {
			return fmt.Errorf("seeding: %w", err)
		}
		value, key, err := server.CreateToken(options)
		if err != nil {
			return fmt.Errorf("seeding: %w", err)
		}
		values[t.User+"/"+key.Name] = value
	}
	text, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the tokens: %w", err)
	}
	return writePrivate(path, append(text, '\n'))
}

// writePrivate replaces a file. It removes an existing file first, so that the content is never
// readable through the mode of the old file.
func writePrivate(path string, text []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("creating the token file: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("writing the token file: %w", err)
	}
	return nil
}
