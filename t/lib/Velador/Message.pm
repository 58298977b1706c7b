# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Message;
# A SIP message as the test peer sees it: enough to look at every header, and to build any message, good or bad.
use strict;
use warnings;

my %long = (v => 'Via', f => 'From', t => 'To', i => 'Call-ID', m => 'Contact', l => 'Content-Length', c => 'Content-Type', k => 'Supported',
	s => 'Subject', e => 'Content-Encoding', x => 'Session-Expires', r => 'Refer-To', b => 'Referred-By', o => 'Event', u => 'Allow-Events');

sub parse {
	my ($class, $raw, %more) = @_;
	my ($head, $body) = split /\r\n\r\n/, $raw, 2;
	return unless defined $head;
	my ($start, @lines) = split /\r\n/, $head =~ s/\r\n[ \t]+/ /gr;
	my $self = bless { %more, raw => $raw, start => $start, body => $body // '', headers => [] }, $class;
	if (($start // '') =~ m{^SIP/2\.0 (\d{3}) ?(.*)}) {
		@$self{qw(status reason)} = ($1, $2);
	} elsif (($start // '') =~ m{^(\S+) (\S+) SIP/2\.0$}) {
		@$self{qw(method uri)} = ($1, $2);
	} else {
		return;
	}
	for (@lines) {
		my ($name, $value) = /^([^:]*?)\s*:\s*(.*?)\s*$/ or next;
		push @{ $self->{headers} }, [$long{ lc $name } // $name, $value];
	}
	return $self;
}

# Every value of a header in order; lists that stand on one line are not split. h: the first, or the empty string.
sub all { my ($self, $name) = @_; return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{headers} } }
sub h   { my ($self, $name) = @_; return ($self->all($name))[0] // '' }

sub is_request { return defined $_[0]{method} }
sub cseq       { return ($_[0]->h('CSeq') =~ /^(\d+)/)[0] }
sub cseq_method { return ($_[0]->h('CSeq') =~ /^\d+\s+(\S+)/)[0] // '' }
sub call_id    { return $_[0]->h('Call-ID') }
sub branch     { return ($_[0]->h('Via') =~ /;\s*branch=([^;,\s]+)/)[0] // '' }
sub tag_of     { my ($self, $name) = @_; return ($self->h($name) =~ />.*?;\s*tag=([^;,\s]+)/)[0] // ($self->h($name) =~ /;\s*tag=([^;,\s]+)/)[0] // '' }
sub from_tag   { return $_[0]->tag_of('From') }
sub to_tag     { return $_[0]->tag_of('To') }
sub contact_uri { return ($_[0]->h('Contact') =~ /<([^>]+)>/)[0] // ($_[0]->h('Contact') =~ /^([^;]+)/)[0] // '' }
# Method and CSeq, or status and CSeq: for titles and logs.
sub name { my $s = shift; return $s->is_request ? "$s->{method}" : "$s->{status}/" . $s->cseq_method }

# The bytes of a message from a start line, [name, value] pairs, and a body; Content-Length is added unless it is among the headers.
sub bytes {
	my ($start, $headers, $body) = @_;
	$body //= '';
	my $text = "$start\r\n";
	$text .= "$_->[0]: $_->[1]\r\n" for grep { defined $_->[1] } @$headers;
	$text .= 'Content-Length: ' . length($body) . "\r\n" unless grep { $_->[0] =~ /^(?:content-length|l)$/i } @$headers;
	return "$text\r\n$body";
}

1;
