# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Dialog;
# One end of a dialog of a test peer: keeps tags, CSeq, remote target and route set (RFC 3261 §12), and sends requests in it.
use strict;
use warnings;
use Velador::Message;

# The calling end. Options: user (the number dialed), call_id, headers, body, sdp, from_host.
sub caller {
	my ($class, $peer, %o) = @_;
	my $self = bless { peer => $peer, cseq => 0, routes => [], call_id => Velador::Peer::unique() . '@caller', %o }, $class;
	$self->{user} //= '100';
	$self->{target} = $o{target} // "sip:$self->{user}\@" . ($o{to} // $peer->{to});
	$self->{local} = '<' . $peer->uri . '>;tag=' . Velador::Peer::unique();
	$self->{remote} = "<sip:$self->{user}\@velador.example>";
	return $self;
}

# The called end, from the INVITE; its To tag is the one the peer's replies bear.
sub callee {
	my ($class, $peer, $invite, %o) = @_;
	my $tag = $o{tag} // ($peer->{tags}{ $invite->call_id } //= Velador::Peer::unique());
	my $self = bless { peer => $peer, cseq => $o{cseq} // 7000, call_id => $invite->call_id, local => $invite->h('To') . ";tag=$tag", remote => $invite->h('From'),
		target => $invite->contact_uri, routes => [_list($invite, 'Record-Route')], to_addr => $invite->{from} }, $class;
	return $self;
}

sub _list { my ($m, $name) = @_; return map { split /\s*,\s*(?=<)/ } $m->all($name) }

# Sends a request in the dialog; cseq, uri, headers, body, via as for Peer::request. Returns the bytes.
sub send {
	my ($self, $method, %o) = @_;
	my $peer = $self->{peer};
	my $cseq = $o{cseq} // ($method eq 'ACK' || $method eq 'CANCEL' ? $self->{cseq} : ++$self->{cseq});
	my @routes = @{ $o{routes} // $self->{routes} };
	my $uri = $o{uri} // $self->{target};
	if (@routes && $routes[0] !~ /;lr\b/) {    # a strict router, RFC 3261 §12.2.1.1
		push @routes, "<$uri>";
		($uri) = (shift @routes) =~ /<([^>]+)>/;
	}
	my $body = $o{body} // ($o{sdp} ? $peer->sdp(ref $o{sdp} ? %{ $o{sdp} } : ()) : '');
	my $via = $o{via} // $peer->via;
	my $bytes = $peer->request($method, $uri, from => $o{from} // $self->{local}, to => $o{remote} // $self->{remote}, call_id => $self->{call_id}, cseq => $cseq, body => $body, type => $o{type},
		contact => $o{contact}, via => $via, headers => [(map { ['Route', $_] } @routes), @{ $o{headers} // [] }]);
	$self->{last}{$method} = { bytes => $bytes, via => $via, cseq => $cseq, uri => $uri };
	$peer->send($bytes, $o{addr} // $self->{to_addr});
	return $bytes;
}

sub invite {
	my ($self, %o) = @_;
	$o{sdp} = 1 unless exists $o{sdp} || exists $o{body};
	return $self->send('INVITE', %o, headers => [@{ $self->{headers} // [] }, @{ $o{headers} // [] }]);
}

# Takes the remote tag, target and route set of a response (18x or 2xx) to our INVITE.
sub learn {
	my ($self, $response) = @_;
	return $self unless $response;
	$self->{remote} = $response->h('To');
	$self->{target} = $response->contact_uri if $response->contact_uri;
	my @routes = reverse _list($response, 'Record-Route');
	$self->{routes} = \@routes if @routes;
	return $self;
}

# The ACK to a 2xx: a transaction of its own, CSeq of the INVITE (RFC 3261 §13.2.2.4).
sub ack { my ($self, %o) = @_; return $self->send('ACK', cseq => $self->{last}{INVITE}{cseq}, %o) }

# The ACK to a failure and the CANCEL belong to the INVITE's transaction: its Via, its Request-URI (§17.1.1.3, §9.1).
sub ack_failure {
	my ($self, $response) = @_;
	my $last = $self->{last}{INVITE};
	return $self->send('ACK', cseq => $last->{cseq}, via => $last->{via}, uri => $last->{uri}, remote => $response->h('To'), routes => []);
}
sub cancel {
	my ($self, %o) = @_;
	my $last = $self->{last}{INVITE};
	return $self->send('CANCEL', cseq => $last->{cseq}, via => $last->{via}, uri => $last->{uri}, %o);
}
# Acknowledges a reliable provisional response (RFC 3262 §4), in the early dialog that it belongs to.
sub prack {
	my ($self, $m, %o) = @_;
	$self->learn($m);
	return $self->send('PRACK', %o, headers => [['RAck', $m->h('RSeq') . ' ' . $m->h('CSeq')], @{ $o{headers} // [] }]);
}
sub bye { my ($self, %o) = @_; return $self->send('BYE', %o) }
sub resend { my ($self, $method) = @_; return $self->{peer}->send($self->{last}{$method}{bytes}, $self->{to_addr}) }

1;
