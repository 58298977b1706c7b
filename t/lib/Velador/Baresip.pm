# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Baresip;
# A baresip of a test's own, headless: no session timer, no UPDATE. Its sound is a bridge to nowhere, its trace says what it received and sent.
#
#	my $bob = Velador::Baresip->start(name => 'bob');           answers by itself
#	$bob->dial("sip:100\@$addr"); $bob->wait_event('CALL_ESTABLISHED'); $bob->hang_up;
#	$bob->received                                             Velador::Message of each that came, in order
use strict;
use warnings;
use File::Temp qw(tempdir);
use IO::Socket::IP;
use JSON::PP;
use Velador qw(free_port spawn slurp wait_for);
use Velador::Message;

my ($modules) = grep { -e "$_/ctrl_tcp.so" } glob('/usr/lib/baresip/modules /usr/local/lib/baresip/modules /usr/lib/*/baresip/modules');
my ($program) = grep { -x } map { "$_/baresip" } split /:/, $ENV{PATH};

# Why it cannot be had; the empty string where it can.
sub lacks { return $program && $modules ? '' : 'baresip is not installed (Debian: baresip-core)' }

sub start {
	my ($class, %o) = @_;
	my $dir = tempdir('velador-baresip-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my ($port, $control, $rtp) = map { free_port() } 1 .. 3;
	my $self = bless { name => $o{name}, addr => "127.0.0.1:$port", dir => $dir, trace => "$dir/trace", events => [], bytes => '' }, $class;
	_write("$dir/accounts", "<sip:$o{name}\@$self->{addr}>;regint=0;answermode=auto;audio_codecs=pcmu\n");
	_write("$dir/contacts", '');
	_write("$dir/config", map { "$_\n" } "sip_listen $self->{addr}", 'audio_player aubridge,x', 'audio_source aubridge,x', 'audio_alert aubridge,x', 'ausrc_srate 8000',
		'auplay_srate 8000', "rtp_ports $rtp-" . ($rtp + 20), 'net_interface 127.0.0.1', 'dns_server 127.0.0.1:1', "module_path $modules", 'module g711.so',
		'module aubridge.so', 'module_tmp account.so', 'module_app menu.so', 'module_app ctrl_tcp.so', "ctrl_tcp_listen 127.0.0.1:$control");
	$self->{pid} = spawn("baresip $o{name}", $self->{trace}, $program, '-4', '-s', '-f', $dir, '-p', $dir);
	$self->{control} = wait_for(sub { return IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $control, Type => IO::Socket::IP::SOCK_STREAM) }, 10, "baresip $o{name}")
		or die 'baresip did not start: ' . slurp($self->{trace});
	$self->{control}->blocking(0);
	return $self;
}

sub _write { my ($file, @text) = @_; open my $f, '>', $file or die "$file: $!\n"; print $f @text; close $f or die "$file: $!\n"; return }

sub addr { return $_[0]{addr} }
sub pid  { return $_[0]{pid} }

# A command of its menu, by netstring and JSON.
sub command {
	my ($self, $command, $params) = @_;
	my $json = JSON::PP->new->canonical->encode({ command => $command, (defined $params ? (params => $params) : ()) });
	syswrite $self->{control}, length($json) . ":$json,";
	return $self;
}
sub dial    { my ($self, $uri) = @_; return $self->command('dial', $uri) }
sub hang_up { my $self = shift; return $self->command('hangup') }

sub _take {
	my $self = shift;
	while (sysread $self->{control}, my $more, 65536) { $self->{bytes} .= $more }
	while ($self->{bytes} =~ /\A(\d+):/ && length $self->{bytes} >= length($1) + 2 + $1) {
		my $json = substr $self->{bytes}, length($1) + 1, $1;
		substr $self->{bytes}, 0, length($1) + 2 + $1, '';
		my $event = eval { JSON::PP->new->utf8->decode($json) } // {};
		push @{ $self->{events} }, $event if $event->{event};
	}
	return;
}

# Waits for the next event of a type (CALL_ESTABLISHED, CALL_CLOSED, …); those before it are forgotten.
sub wait_event {
	my ($self, $type, $timeout_s) = @_;
	return wait_for(sub {
		$self->_take;
		while (my $event = shift @{ $self->{events} }) { return $event if $event->{type} eq $type }
		return;
	}, $timeout_s // 5, "$type at $self->{name}");
}
# Whether one came, without waiting.
sub had_event { my ($self, $type) = @_; $self->_take; return scalar grep { $_->{type} eq $type } @{ $self->{events} } }

# Its trace: "#\nUDP from -> to\n", the message, and an empty line.
sub _messages {
	my ($self, $which) = @_;
	my @found;
	my $text = slurp($self->{trace}) =~ s/\e\[[0-9;]*m//gr;
	for my $part (split /#\n(?=(?:\S+ )?UDP \S+ -> \S+\n)/, $text) {    # its status line may stand before it
		my ($from, $to, $raw) = $part =~ /\A(?:\S+ )?UDP (\S+) -> (\S+)\n(.*)/s or next;
		next unless ($to eq $self->{addr}) == ($which eq 'in');
		my $m = Velador::Message->parse($raw);
		next unless $m;
		$m->{body} = substr $m->{body}, 0, $m->h('Content-Length') || 0;
		push @found, $m;
	}
	return @found;
}
sub received { return $_[0]->_messages('in') }
sub sent     { return $_[0]->_messages('out') }

1;
