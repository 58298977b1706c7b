# SPDX-License-Identifier: GPL-2.0-or-later
package Velador::Twinkle;
# A Twinkle of a test's own: its console, without sound or screen, commands over its standard input.
#
#	my $tom = Velador::Twinkle->start(name => 'tom', '100rel' => 'preferred');    disabled, supported, required, preferred
#	$tom->say("call sip:100\@$addr"); $tom->sees('received 180'); $tom->say('bye');
use strict;
use warnings;
use File::Temp qw(tempdir);
use IPC::Open3 qw(open3);
use Velador qw(free_port slurp wait_for);

my ($program) = grep { -x } map { "$_/twinkle-console" } split /:/, $ENV{PATH};
my $owner = $$;

# Why it cannot be had; the empty string where it can.
sub lacks { return $program ? '' : 'twinkle-console is not installed (Debian: twinkle-console)' }

sub start {
	my ($class, %o) = @_;
	my $dir = tempdir('velador-twinkle-XXXXXX', TMPDIR => 1, CLEANUP => 1);
	my ($port, $rtp) = map { free_port() } 1, 2;
	my $self = bless { name => $o{name}, addr => "127.0.0.1:$port", out => "$dir/out" }, $class;
	mkdir "$dir/.twinkle";
	_write("$dir/.twinkle/$o{name}.cfg", user_name => $o{name}, user_domain => '127.0.0.1', user_display => $o{name}, ext_100rel => $o{'100rel'} // 'supported',
		register_at_startup => 'no', use_nat_public_ip => 'yes', nat_public_ip => '127.0.0.1', use_stun => 'no', pub_presence_at_startup => 'no');
	_write("$dir/.twinkle/twinkle.sys", (map { ("dev_$_" => 'alsa:null') } qw(ringtone speaker mic)), sip_udp_port => $port, sip_tcp_port => $port, rtp_port => $rtp - $rtp % 2,
		play_ringtone => 'no', play_ringback => 'no');
	local $ENV{HOME} = $dir;
	local $ENV{TERM} = 'dumb';
	open my $out, '>', $self->{out} or die "$self->{out}: $!\n";
	$self->{pid} = open3(my $in, '>&' . fileno $out, undef, $program, "$o{name}.cfg");
	$in->autoflush(1);
	$self->{in} = $in;
	$self->sees('Twinkle>') or die "twinkle did not start: " . slurp($self->{out}) . "\n";
	return $self;
}

sub _write {
	my ($file, %keys) = @_;
	open my $f, '>', $file or die "$file: $!\n";
	print $f "$_=$keys{$_}\n" for sort keys %keys;
	close $f or die "$file: $!\n";
	return;
}

sub addr { return $_[0]{addr} }
sub say { my ($self, $command) = @_; print { $self->{in} } "$command\n"; return }
# Whether that text appears, after what was seen before.
sub sees {
	my ($self, $text) = @_;
	return wait_for(sub {
		my $all = slurp($self->{out});
		my $at = index $all, $text, $self->{seen} // 0;
		return 0 if $at < 0;
		$self->{seen} = $at + length $text;
		return 1;
	}, 8, "$self->{name} to say '$text'");
}

sub DESTROY {
	my $self = shift;
	return unless $self->{pid} && $$ == $owner;
	local ($?, $SIG{PIPE}) = ($?, 'IGNORE');
	$self->say('quit');
	return if wait_for(sub { return waitpid($self->{pid}, POSIX::WNOHANG()) != 0 }, 3);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
